"""The multi-view model of nbv: trained on views of training objects, then frozen."""
