"""What a host learns of a device, and what it hands over."""

import torch

from lnas.waiting import Verdict, on_host, sent


def test_tables_of_the_host_are_handed_through():
    tables = {"a": torch.rand(2, 3), "b": torch.rand(4)}
    found = on_host(tables)
    assert all(found[name] is table for name, table in tables.items())


def test_tables_of_a_device_come_over_together(monkeypatch):
    # No device here has numbers and is not the CPU: let the join of tables come from one.
    tables = {"a": torch.rand(2, 3), "b": torch.rand(4), "c": torch.rand(1, 2)}
    devices = {name: table.to("meta") for name, table in tables.items()}
    flat = torch.cat([table.flatten() for table in tables.values()])
    monkeypatch.setattr(torch, "cat", lambda parts: flat if parts[0].is_meta else None)
    found = on_host(devices)
    assert list(found) == list(tables)
    assert all(torch.equal(found[name], table) for name, table in tables.items())


def test_a_verdict_is_the_value_and_what_is_sent_arrives():
    assert Verdict(torch.tensor(True)).read()
    assert not Verdict(torch.tensor(False)).read()
    assert sent(torch.rand(2), torch.device("meta")).is_meta
