"""What happens to one of several controllers, and to the store that they share."""

from __future__ import annotations

from typing import cast

from dayshift.model.plan import Plan
from dayshift.model.points import Point
from dayshift.rehearsal.several import Place, Several
from dayshift.rehearsal.weather import End, Fault, Scene


def are_several(plan: Plan) -> bool:
    return len(plan.estate.controllers) > 1


def _crew(scene: Scene) -> Several:
    """Several there are: each fault here needs them."""
    return cast(Several, scene.controllers)


def _cut(places: list[Place], scene: Scene) -> End:
    shared = _crew(scene).shared
    names = {one.name for one in places} - shared.cut
    shared.cut |= names
    for one in places:
        one.disk.fail("cut off")

    def over() -> None:
        shared.cut -= names
        for one in places:
            one.disk.mend()

    return over


def _leader_without_store(scene: Scene) -> End:
    """The others still reach it."""
    return _cut([_crew(scene).leader], scene)


def _store_away(scene: Scene) -> End:
    """It has lost its majority: nobody leads, and nobody can."""
    return _cut(list(_crew(scene).places.values()), scene)


def _store_late(scene: Scene) -> End:
    """What one controller asks of it happens, later than anybody waits."""
    shared, name = _crew(scene).shared, _crew(scene).leader.name
    shared.late[name] = 1_000 * scene.strength + scene.draw.randrange(3_000)

    def over() -> None:
        shared.late.pop(name, None)

    return over


def _place_cut_off(scene: Scene) -> End:
    """The leader's place reaches nothing any more, and nothing reaches it."""
    place = _crew(scene).leader
    store, network = _cut([place], scene), place.network
    network.hangs = scene.strength > 2
    network.cut[""] = network.cut.get("", 0) + 1

    def over() -> None:
        store()
        network.cut[""] -= 1
        network.hangs = False

    return over


def _follower_dies(scene: Scene) -> End:
    crew = _crew(scene)
    others = [one for one in crew.places.values() if one is not crew.leader]
    scene.spawn(scene.draw.choice(others).kill("killed"))
    return lambda: None


def _asked_twice(scene: Scene) -> End:
    """Two people ask for the same at two places, and the leader dies over an answer."""
    verb = scene.draw.choice(("pause", "abort", "retry", "return"))
    crew = _crew(scene)

    async def ask(person: str) -> None:
        region = {"region": scene.target} if verb == "return" else {}
        await crew.ask(verb, person, **region)

    crew.machine.die_at = (Point.ANSWERED, scene.draw.randint(1, 2))
    scene.spawn(ask("mallory"))
    scene.spawn(ask("oscar"))
    return lambda: None


FAULTS = tuple(
    fault._replace(needs=are_several)
    for fault in (
        Fault(
            "store-cut-off",
            "the leader cannot reach the store, and others can",
            _leader_without_store,
        ),
        Fault("store-away", "nobody can reach the store", _store_away),
        Fault("store-late", "the store does what it is asked too late", _store_late),
        Fault("place-cut-off", "the leader's place is cut off", _place_cut_off),
        Fault("follower-killed", "a controller that follows is killed", _follower_dies),
        Fault(
            "people-ask-twice",
            "two people ask for the same at two controllers, and the leader dies",
            _asked_twice,
        ),
    )
)
