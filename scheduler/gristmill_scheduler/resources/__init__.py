"""What a server keeps for its users: endpoints, deployments, data, environments, datastores, computes.

    shown        what every one of them answers with
    records      a document with who made it and when, changed by compare-and-swap
    assets       versioned ones: data, environments, models
    places       addresses that a request may name, and where they lead
    references   the same, with data assets

State is in the workspace's documents; nothing is kept in this process between two calls.
"""
