"""A whole run: the stages that a recipe's `pipeline` names, each a `diva` command in its own process and folder.

The graph, the checks of what is up to date and going on after a failure are doit's (https://pydoit.org): light,
in-process, and with the state of each stage in a place of the caller's choosing, which here is the manifest itself.
"""
