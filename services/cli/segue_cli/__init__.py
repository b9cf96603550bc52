"""Segue's command line: a person publishes and subscribes like anyone else."""
