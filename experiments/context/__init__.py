"""Which family of meta-learners wins where, at equal environment steps?"""
