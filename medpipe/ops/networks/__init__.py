"""Ops that ask a packaged network: importing this package registers them."""

from medpipe.ops.networks.deep import Deep
from medpipe.ops.networks.learned import Learned

__all__ = ["Deep", "Learned"]
