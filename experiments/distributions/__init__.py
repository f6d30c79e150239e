"""Other distributions of tasks than the uniform one: when does the mean mislead?"""
