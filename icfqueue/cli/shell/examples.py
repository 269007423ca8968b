"""An example or two for each command, at the end of its help and in its manual page."""

from __future__ import annotations

EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": ("icfqueue demo", "icfqueue demo --visits 8 --folder ~/demo-store"),
    "doctor": ("icfqueue doctor", "icfqueue doctor --project study_1 --credential icf"),
    "archive": (
        "icfqueue archive study_1 visit_1 ~/export/visit_1",
        "icfqueue archive study_1 visit_1 MR1 MR2 -o /data/icf",
    ),
    "run": (
        "icfqueue run study_1",
        "icfqueue run study_1 'sub-01*' --jobs 4",
        "icfqueue run study_1 --remote --credential icf --remove-tarball",
    ),
    "enqueue": (
        "icfqueue enqueue study_1 --remote --dry-run",
        "icfqueue enqueue study_1 visit_1 visit_2 --priority 4",
    ),
    "worker": (
        "icfqueue worker --concurrency 4",
        "icfqueue worker --queues fetch,index --walltime 4h",
    ),
    "status": (
        "icfqueue status",
        "icfqueue status study_1 --cause cut --cause gzip",
        "icfqueue status study_1 'sub-01*' --state done",
        "icfqueue status study_1 visit_1 --format json",
    ),
    "workers": ("icfqueue workers", "icfqueue workers --format json"),
    "logs": (
        "icfqueue logs study_1 visit_1",
        "icfqueue logs study_1 'sub-01*' --format json",
    ),
    "events": (
        "icfqueue events --follow --format json",
        "icfqueue events --follow --notify https://hooks.example.org/icfqueue",
    ),
    "retry": (
        "icfqueue retry study_1",
        "icfqueue retry study_1 'sub-01*' --cause network --cause store-busy",
        "icfqueue retry study_1 visit_1 --accept-identifiers",
    ),
    "cancel": ("icfqueue cancel study_1", "icfqueue cancel study_1 'sub-01*'"),
    "repack": (
        "icfqueue repack study_1 visit_1",
        "icfqueue repack study_1 visit_1 --replace",
    ),
    "verify": (
        "icfqueue verify study_1 --sample 3",
        "icfqueue verify study_1 visit_1 --audit-only --format json",
    ),
    "catalog": ("icfqueue catalog study_1",),
    "report": (
        "icfqueue report study_1",
        "icfqueue report study_1 --publish",
        "icfqueue report study_1 --format csv",
    ),
    "series": ("icfqueue series study_1", "icfqueue series study_1 visit_1"),
    "find": ("icfqueue find \"ProtocolName ILIKE '%t1w%' AND images > 100\"",),
    "serve": ("icfqueue serve --port 8080",),
    "reconcile": ("icfqueue reconcile study_1",),
    "forget": ("icfqueue forget study_1 visit_1", "icfqueue forget study_1 'test-*'"),
    "clone": ("icfqueue clone study_1 visit_1", "icfqueue clone study_1 ./study"),
    "range": ("icfqueue range on visit_1", "icfqueue range off visit_1"),
    "references": ("icfqueue references study_1 visit_1",),
    "metrics": ("icfqueue metrics", "icfqueue metrics --port 9878"),
    "deploy": ("icfqueue deploy slurm --workers 4 --walltime 4h",),
    "config": ("icfqueue config show --changed", "icfqueue config show --format json"),
    "completion": (
        "icfqueue completion bash >> ~/.bash_completion",
        "icfqueue completion zsh > ~/.zfunc/_icfqueue",
        "icfqueue completion fish > ~/.config/fish/completions/icfqueue.fish",
    ),
}
"""Command to lines that work where there is such a project."""


def examples_of(command: str) -> str | None:
    """Return what stands at the end of a command's help, None if there is nothing."""
    lines = EXAMPLES.get(command, ())
    if not lines:
        return None
    head = "Example" if len(lines) == 1 else "Examples"
    # click does not rewrap a paragraph that begins with this character.
    return "\n".join(["\b", f"{head}:", *(f"  {line}" for line in lines)])
