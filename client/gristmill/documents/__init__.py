"""Reads every kind of YAML file that the command line takes, into plain documents in the current form.

    opening      a file or a mapping -> nodes, with --set and options on top
    *_schema     every key of a kind; checks and reference page are made from it
    endpoints, deployments, ...    one reader a kind

What comes out is what a server is sent: keys as in the files, local paths absolute, nothing filled in. It is built on
`gristmill.deployment`, and like it not imported by `import gristmill`.
"""

from gristmill.documents.deployments import load_deployment_document
from gristmill.documents.endpoints import EndpointFile, load_endpoint

__all__ = ["EndpointFile", "load_deployment_document", "load_endpoint"]
