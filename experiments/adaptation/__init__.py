"""Does adaptation matter, and on which tasks?"""
