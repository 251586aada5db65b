"""The shop's tables, and those of the services around it.

Services know an order by its id alone, as services do that share no database.
"""

from orders.models.inventory import Product, Reservation, ReservationLine, ReservationStatus
from orders.models.order import SOLD, Order, OrderLine, OrderStatus
from orders.models.outside import BookingStatus, CarrierBooking, ChargeStatus, GatewayCharge
from orders.models.payments import Payment, PaymentStatus
from orders.models.shipping import Shipment, ShipmentStatus

__all__ = [
    "SOLD",
    "BookingStatus",
    "CarrierBooking",
    "ChargeStatus",
    "GatewayCharge",
    "Order",
    "OrderLine",
    "OrderStatus",
    "Payment",
    "PaymentStatus",
    "Product",
    "Reservation",
    "ReservationLine",
    "ReservationStatus",
    "Shipment",
    "ShipmentStatus",
]
