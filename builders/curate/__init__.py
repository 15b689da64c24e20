"""What both sources share: duplicates, splits, packing."""
