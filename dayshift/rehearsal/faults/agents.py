"""What happens to agents, their machines, and the links to them."""

from __future__ import annotations

from dayshift.model.plan import Plan
from dayshift.model.points import Point
from dayshift.rehearsal.agents import SimulatedAgent
from dayshift.rehearsal.weather import End, Fault, Scene


def _has_agents(plan: Plan) -> bool:
    return any(one.agents for some in plan.estate.services for one in some.dials)


def _agent(scene: Scene) -> SimulatedAgent:
    return scene.stage.agents[scene.one_of(list(scene.stage.agents))]


def _kill(scene: Scene) -> End:
    """Somebody kills it; it is started again when this is over."""
    agent = _agent(scene)
    agent.kill()
    return agent.start


def _die_writing(scene: Scene) -> End:
    """It dies between its devices, or before their answer is in its ledger."""
    agent = _agent(scene)
    point = scene.draw.choice((Point.HALF_APPLIED, Point.APPLIED))
    agent.machine.die_at = (point, scene.draw.randint(1, 3))

    def over() -> None:
        agent.machine.die_at = None
        agent.start()

    return over


def _sleep(scene: Scene) -> End:
    """Its machine sleeps, then goes on where it stood."""
    _agent(scene).freeze(15_000 * scene.strength)
    return lambda: None


def _restore(scene: Scene) -> End:
    """Its machine is restored from a backup of when this began."""
    agent = _agent(scene)
    copy = agent.remember()
    return lambda: agent.go_back_to(copy)


def _unreachable(scene: Scene) -> End:
    """One controller cannot reach it; others may."""
    network, part = scene.controllers.network, f"agent/{_agent(scene).name}"
    network.cut[part] = network.cut.get(part, 0) + 1

    def over() -> None:
        network.cut[part] -= 1

    return over


def _deaf(scene: Scene) -> End:
    """The link is cut one way: it hears, and is not heard."""
    network, part = scene.controllers.network, f"agent/{_agent(scene).name}"
    network.deaf[part] = network.deaf.get(part, 0) + 1

    def over() -> None:
        network.deaf[part] -= 1

    return over


FAULTS = tuple(
    fault._replace(needs=_has_agents)
    for fault in (
        Fault("agent-killed", "an agent is killed and started again", _kill),
        Fault(
            "agent-dies-writing", "an agent dies in the middle of a write", _die_writing
        ),
        Fault("agent-sleeps", "an agent's machine sleeps for a while", _sleep),
        Fault(
            "agent-restored", "an agent's machine is restored from a backup", _restore
        ),
        Fault(
            "agent-unreachable", "one controller cannot reach an agent", _unreachable
        ),
        Fault("agent-unheard", "an agent hears, and its answers are lost", _deaf),
    )
)
