"""
Carry out a plan: intend, look, write, settle.

Each change is looked at right before it is sent and decided again (`core.upsert`). Its intent is durable
before the request leaves. A write whose answer is lost is settled by the next look, never by guessing. What many
answers leave open is confirmed together, by the pages of the list (`confirming`).
"""

from reconcile.applying.hands import Hands, Mode, Numbers
from reconcile.applying.runner import Applier

__all__ = ["Applier", "Hands", "Mode", "Numbers"]
