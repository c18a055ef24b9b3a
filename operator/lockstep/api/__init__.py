"""The resources of Lockstep: models, conditions, reasons, and the CRDs rendered from them."""
