# GFLA on views of ShapeNet's chairs: as on cars.
_base_ = "gfla_views_car.py"

category = "chair"
