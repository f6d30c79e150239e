"""Writes docs/reproduction.md from the tables in the checkout."""

from experiments.reproduction.writing import TARGET, write

if __name__ == "__main__":
    write()
    print(f"{TARGET} is up to date")
