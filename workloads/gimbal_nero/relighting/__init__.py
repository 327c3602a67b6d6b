"""Pictures of a learnt surface under another light, or from where no photograph was taken."""
