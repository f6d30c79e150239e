"""SG-MRL against MAML where MAML's bias should matter."""
