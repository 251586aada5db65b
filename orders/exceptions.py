"""What the shop refuses, each time in a sentence for the person who asked."""

from __future__ import annotations


class OrderRefused(Exception):
    """The shop refused what it was asked. `code` is stable; the text is for people."""

    code = "order_refused"


class NothingOrdered(OrderRefused):
    """An order without a line."""

    code = "nothing_ordered"


class WrongQuantity(OrderRefused):
    """A line asks for none of a product, or for more than any order may."""

    code = "wrong_quantity"


class WrongAddress(OrderRefused):
    """What was given as the customer's e-mail address is none."""

    code = "wrong_address"


class UnknownProduct(OrderRefused):
    """A line names a product that the shop does not sell."""

    code = "unknown_product"


class TooMuch(OrderRefused):
    """The total has more digits than the books have room for."""

    code = "too_much"


class NotDeliverable(OrderRefused):
    """Only a confirmed order can be delivered."""

    code = "not_deliverable"


class NotReturnable(OrderRefused):
    """Only a delivered order can be returned, and only once."""

    code = "not_returnable"
