"""Where a stage may run: a slot, memory beside what runs there, and nothing beside one that ran out of it."""

from __future__ import annotations

from workbench.contracts.launcher import Node
from workbench.runs.placement import Placement

GB = 10**9


def placed(*running: tuple[str, float, Node]) -> Placement:
    """With these running."""
    placement = Placement()
    for key, memory, node in running:
        placement.put(key, memory, node)
    return placement


def test_memory_is_counted_on_each_node_and_not_in_all():
    nodes = [Node(str(number), 4, 16 * GB) for number in range(8)]
    assert Placement().node_for("large", 40 * GB, nodes) is None, "128 GB in all, and no node of 40"
    assert placed(*((f"{node.name} has", 10 * GB, node) for node in nodes)).node_for("next", 7 * GB, nodes) is None
    assert Placement().node_for("small", 7 * GB, nodes) == nodes[0]


def test_a_stage_goes_where_most_slots_are_free_and_where_there_are_any():
    small, large = Node("small", 1), Node("large", 2)
    placement = placed(("first", 1, large))
    assert placement.node_for("second", 1, [small, large]) == small
    placement.put("second", 1, small)
    assert placement.node_for("third", 1, [small, large]) == large
    placement.put("third", 1, large)
    assert not placement.with_room([small, large])
    assert placement.node_for("fourth", 1, [small, large]) is None
    placement.free("second")
    assert placement.with_room([small, large]) == [small]
    assert placement.node_for("fourth", 1, [small, large]) == small


def test_a_node_of_which_nothing_is_known_holds_what_it_has_slots_for():
    assert Placement().node_for("any", 10**15, [Node("", 1)]) == Node("", 1)


def test_a_stage_that_ran_out_of_memory_is_alone_on_its_node_and_stops_no_other_node():
    first, second = Node("first", 2), Node("second", 2)
    placement = placed(("beside", 1, first))
    placement.keep_alone("lacked")
    assert placement.node_for("lacked", 1, [first]) is None
    assert placement.node_for("lacked", 1, [first, second]) == second
    placement.put("lacked", 1, second)
    assert placement.node_for("other", 1, [second]) is None
    assert placement.node_for("other", 1, [first, second]) == first
    placement.free("lacked")
    assert placement.node_for("other", 1, [second]) == second


def test_a_node_that_is_only_expected_has_no_room_yet():
    assert Placement().node_for("any", 1, [Node("in the queue", 0)]) is None


def test_a_stage_that_waits_to_be_alone_is_not_kept_waiting_by_what_is_less_urgent():
    first, second = Node("first", 2), Node("second", 2)
    placement = placed(("a", 1, first), ("b", 1, second), ("c", 1, second))
    placement.keep_alone("lacked")
    placement.begin_round()
    assert placement.node_for("lacked", 1, [first, second]) is None
    assert placement.node_for("less urgent", 1, [first, second]) is None, "the first is soonest empty"
    placement.free("c")
    assert placement.node_for("less urgent", 1, [first, second]) == second
    placement.free("a")
    placement.begin_round()
    assert placement.node_for("lacked", 1, [first, second]) == first


def test_a_node_is_not_kept_for_a_stage_that_waits_no_more():
    node = Node("only", 2)
    placement = placed(("a", 1, node))
    placement.keep_alone("lacked")
    placement.begin_round()
    assert placement.node_for("lacked", 1, [node]) is None
    placement.begin_round()
    assert placement.node_for("next", 1, [node]) == node
