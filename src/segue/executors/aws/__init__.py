"""AWS Batch and ECS as executors: steps become jobs of a queue, or tasks of a cluster, of Amazon's.

Example::

    from segue import Resources, task
    from segue.executors.aws import AWSBatch

    AWSBatch("batch", queue="jobs", image="123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop:3", execution_role="arn:…",
             modules=["shop.tasks"], database_secret="arn:aws:secretsmanager:…")

    @task(executor="batch", resources=Resources(cpu=4, memory="8GiB"), timeout=3600)
    def fold(sequence: str) -> dict: ...

    batch, ecs      `AWSBatch` and `ECS`: what the dispatcher calls
    platform        what both have in common: clients, logs, results, how often is asked
    queues          what is asked of job queues, and how a job is found again
    arrays          many attempts in one call of Batch; pure
    jobs, tasks     the requests of Batch and of ECS; pure
    requests        what both send
    fargate         the sizes that Fargate has; pure
    definitions     definitions of jobs and tasks, named by their content and registered once
    throttle        so many calls a second, and fewer when Amazon asks for patience
    errors          what Amazon's errors say of a submission
    meaning         what Amazon says of a job or task; pure
"""

from segue.executors.aws.batch import AWSBatch
from segue.executors.aws.ecs import ECS

__all__ = ["ECS", "AWSBatch"]
