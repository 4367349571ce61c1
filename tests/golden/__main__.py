"""Write the golden tables anew and print the digests to pin."""

from estimator import shipped
from tests.golden.tables import FOLDER, digest, rendered

if __name__ == "__main__":
    for name, card in sorted(shipped().items()):
        text = rendered(card)
        (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")
        print(f'    "{name}": ("{card.id}", "{digest(text)}"),')
