"""A bounded second chance for failing pods: a pure planner, a journal that bounds it, and a thin executor. One leader per cluster."""
