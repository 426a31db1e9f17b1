"""The wires beside REST: each a protocol that the unmodified client speaks.

A wire is made from the platform and has ``async start()`` and ``async stop()``; :data:`WIRES` lists how to make each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deepcube.embedded.platform import Platform
from deepcube.embedded.runtime.wire import RuntimeWire
from deepcube.embedded.wires.flight import FlightWire
from deepcube.embedded.wires.kafka import KafkaWire
from deepcube.embedded.wires.mysql import MySqlWire
from deepcube.embedded.wires.rondb import RonDbWire

WIRES: list[Callable[[Platform], Any]] = [RuntimeWire, FlightWire, KafkaWire, MySqlWire, RonDbWire]
