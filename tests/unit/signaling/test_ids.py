from __future__ import annotations

import secrets

from signaling.ids import SidMaker


def test_sids_have_their_prefix_and_never_repeat() -> None:
    maker = SidMaker(secrets.token_bytes)
    sids = {maker.make("PA") for _ in range(1000)}
    assert len(sids) == 1000
    assert all(sid.startswith("PA_") and len(sid) == 15 and sid[3:].isalnum() for sid in sids)


def test_hints_replace_letters_not_randomness_to_a_guessable_degree() -> None:
    sid = SidMaker(secrets.token_bytes).make("TR", "VC")
    assert sid.startswith("TR_VC") and len(sid) == 15


def test_the_same_randomness_gives_the_same_sid() -> None:
    assert SidMaker(bytes).make("RM") == SidMaker(bytes).make("RM") == "RM_000000000000"
