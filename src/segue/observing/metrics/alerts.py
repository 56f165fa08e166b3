"""Alert rules for Prometheus, made of the registry: `segue observe alerts`."""

from __future__ import annotations

from dataclasses import dataclass

from segue.observing.metrics import registry as known


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: when it fires, after how long, and what to do."""

    name: str
    expression: str
    lasts: str
    severity: str
    summary: str
    advice: str


def rules() -> list[Rule]:
    """The rules. Their figures are a start; change them to what your work needs."""
    ready, workers, oldest = known.READY.name, known.WORKERS.name, known.OLDEST.name
    ended, attempts, lag = known.RUNS_ENDED.name, known.ATTEMPTS.name, known.LAG.name
    return [
        Rule(
            "SegueNoLeader", f"max({known.LEASE.name}) == 0", "30s", "critical",
            "No process does the chores: schedules, timeouts and rescue stand still",
            "Start `segue scheduler`, or a worker without --no-chores.",
        ),
        Rule(
            "SegueNoWorker", f'max({ready}) > 0 unless max({workers}{{status="running"}}) > 0', "1m", "critical",
            "Steps are ready, and no worker is alive", "Start workers: segue worker -A MODULE.",
        ),
        Rule(
            "SegueQueueIsLate", f"max by (queue) ({oldest}) > 300", "5m", "warning",
            "The oldest step of {{ $labels.queue }} has waited for more than five minutes",
            "Start more workers for this queue; `segue explain RUN` says why a step waits.",
        ),
        Rule(
            "SegueRunsFail",
            f'sum by (workflow) (rate({ended}{{outcome="failed"}}[15m]))'
            f" / sum by (workflow) (rate({ended}[15m])) > 0.1",
            "10m", "warning", "More than a tenth of the runs of {{ $labels.workflow }} fail",
            "segue runs --status failed --workflow NAME",
        ),
        Rule(
            "SegueWorkersDie", f'sum(increase({attempts}{{outcome="lost"}}[15m])) > 3', "0s", "warning",
            "Attempts lose their process", "Look for processes that are killed for their memory.",
        ),
        Rule(
            "SegueScheduleIsLate", f"max by (schedule) ({lag}) > 120", "1m", "warning",
            "The schedule {{ $labels.schedule }} is late", "segue schedules show NAME says why.",
        ),
        Rule(
            "SegueScheduleIsStuck", f"max({known.STUCK.name}) > 0", "1m", "warning",
            "The next tick of a schedule cannot be decided", "segue schedules list says which, and why.",
        ),
        Rule(
            "SegueDatabaseIsSilent", f"max by (instance) ({known.ANSWER_AGE.name}) > 30", "30s", "critical",
            "{{ $labels.instance }} has heard nothing from the database", "segue db status; look at the log.",
        ),
        Rule(
            "SegueStoreErrors", f"sum by (kind) (rate({known.STORE_ERRORS.name}[5m])) > 0.1", "5m", "warning",
            "The database refuses transactions: {{ $labels.kind }}", "Look at the log of the workers.",
        ),
        Rule(
            "SegueTooManyLabels", f"sum by (label) (increase({known.LABELS_CAPPED.name}[1h])) > 0", "0s", "info",
            "The label {{ $labels.label }} has too many values", "Do not make up names of tasks, queues or workflows.",
        ),
    ]  # fmt: skip


def rules_as_yaml() -> str:
    """A file of rules, as Prometheus reads it. Texts are written as JSON, which YAML reads."""
    import json  # noqa: PLC0415 - for this command only

    lines = ["groups:", "  - name: segue", "    rules:"]
    for rule in rules():
        lines += [
            f"      - alert: {rule.name}",
            f"        expr: {json.dumps(rule.expression)}",
            f"        for: {rule.lasts}",
            "        labels:",
            f"          severity: {rule.severity}",
            "        annotations:",
            f"          summary: {json.dumps(rule.summary)}",
            f"          description: {json.dumps(rule.advice)}",
        ]
    return "\n".join(lines) + "\n"
