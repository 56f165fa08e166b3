"""Numbers about Segue for Prometheus.

registry.py     every metric: its name, type, labels and meaning
meter.py        what the code calls to count; it does nothing until metrics are switched on
labels.py       keeps the number of values of each label small
prometheus.py   the only module that imports prometheus_client
dashboard.py    a dashboard for Grafana, made of the registry
alerts.py       alert rules for Prometheus, made of the registry
"""
