"""Segmentation as a task; its own package needs mmsegmentation as soon as anything in it is imported."""

from diva.tasks import Task

SEGMENTATION = Task("segmentation", "Segmentation", place=50)
