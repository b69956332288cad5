# GFLA on views of ShapeNet's chairs: like cars.
_base_ = "gfla_views_car.py"

category = "chair"
