"""What all studies share: how runs are declared, trained, gathered, drawn and told."""
