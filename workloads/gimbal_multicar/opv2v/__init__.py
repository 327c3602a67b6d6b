"""The data set OPV2V on disk: layout, frames, calibration, boxes, points and depth."""
