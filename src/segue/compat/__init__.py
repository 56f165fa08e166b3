"""The public names of older workflow libraries, on Segue: a project changes its imports, and its workflows are durable.

`segue.compat.dyrygent`            celery-dyrygent
`segue.compat.rhythm`              Rhythm (sca-rhythm), without MongoDB
`segue.compat.dramatiq_workflow`   dramatiq-workflow
`segue.compat.taskflow`            Taskflow

They translate, and decide nothing: what a workflow does is decided by the engine, and every verb of Segue works on its
runs. What cannot be translated raises `NotTranslatedError`, which says what to do instead.
"""
