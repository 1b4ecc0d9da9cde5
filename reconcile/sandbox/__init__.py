"""
A local look-alike of the CometChat REST API, for tests, the demo and your own CI.

Owns everything that stands in for the real service, and shares no code with the job: a mistake made in one of
them must not be made in the other. `serve` runs it until a signal, `running_sandbox` for the length of a
block.
"""

from reconcile.sandbox.catalogue import describe
from reconcile.sandbox.handle import Sandbox, running_sandbox
from reconcile.sandbox.profiles import PROFILES
from reconcile.sandbox.server import Address, Options, serve
from reconcile.sandbox.switches import Switches

__all__ = ["PROFILES", "Address", "Options", "Sandbox", "Switches", "describe", "running_sandbox", "serve"]
