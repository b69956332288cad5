# GFLA on drawn chairs: like drawn cars.
_base_ = "gfla_drawn_cars.py"

kind = "chair"
