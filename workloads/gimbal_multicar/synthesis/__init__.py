"""Made streets and cars, written as OPV2V or straight to panoramas."""
