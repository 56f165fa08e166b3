"""A Django project whose orders are worked by Segue."""
