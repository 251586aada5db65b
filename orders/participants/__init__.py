"""The services an order needs: the shop's inventory, payments and shipping, and two outside companies."""
