"""Read, merge and write kubeconfigs."""
