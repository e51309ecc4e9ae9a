"""What people ask and nothing is changed for: packets followed, guests, pools, what was seen, a patch for the spec."""
