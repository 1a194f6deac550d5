"""Reads, validates and maps a deployment: from Azure ML's batch deployment YAML to `gristmill.spec.Deployment`.

    reading / nodes     text or mapping -> a tree that knows its lines
    overrides / forms   --set, and the generations of the YAML
    schema              every key, with kind, default and meaning
    building            the parts of spec.Deployment, and what holds between keys

Nothing of it is imported by `import gristmill`.
"""

from gristmill.deployment.building import build_deployment, load_deployment

__all__ = ["build_deployment", "load_deployment"]
