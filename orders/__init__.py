"""A shop: the demo domain of `sagas`, with stock, payments and shipments that fail on demand."""
