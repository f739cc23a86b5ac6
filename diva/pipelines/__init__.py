"""A whole run: the steps that a pipeline names, each a `diva` command in its own process and folder.

A pipeline is a YAML file beside these modules, or one of the user's; what it says of a step, and what differs with
the recipe, is in `diva.pipelines.schema`.
"""
