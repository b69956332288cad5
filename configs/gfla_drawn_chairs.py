# GFLA on drawn chairs: as on drawn cars.
_base_ = "gfla_drawn_cars.py"

kind = "chair"
