"""Small MDPs summed over every data set, the oracle of the estimators."""
