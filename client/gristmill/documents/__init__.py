"""Reads every kind of YAML file that the command line takes, into plain documents in the current form.

    opening      a file or a mapping -> nodes, with --set and options on top
    *_schema     every key of a kind; checks and reference page are made from it
    endpoints, deployments, ...    one reader a kind

What comes out is what a server is sent: keys as in the files, local paths absolute, nothing filled in. It is built on
`gristmill.deployment`, and like it not imported by `import gristmill`.
"""

from gristmill.documents.assets import load_data, load_environment, load_model
from gristmill.documents.computes import load_compute
from gristmill.documents.datastores import load_datastore
from gristmill.documents.deployments import load_deployment_document
from gristmill.documents.endpoints import EndpointFile, load_endpoint
from gristmill.documents.job_inputs import load_job_inputs

__all__ = [
    "EndpointFile",
    "load_compute",
    "load_data",
    "load_datastore",
    "load_deployment_document",
    "load_endpoint",
    "load_environment",
    "load_job_inputs",
    "load_model",
]
