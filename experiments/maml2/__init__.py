"""What categories of tasks are worth, MAML² against MAML: `make maml2`."""
