"""The practice data: a survey of households, all of it invented, the same at every start.

Regions and departments are the real ones; communes, households and persons are drawn by a generator with a
fixed seed. It is made so that the usual questions have interesting answers: wages grow with diploma and age and
differ by sex and region, the young are unemployed more often, answers are missing as answers are.

========== ======= ==========================================================
table      rows    one row is
========== ======= ==========================================================
regions         13 a region of metropolitan France
departements    96 a department
communes       768 an invented commune
menages     47,000 a household that was surveyed: dwelling, income, weight
individus  > 100 k a person of such a household: birth, diploma, work, wage
========== ======= ==========================================================
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from sspcloud_magics.sandbox.world import survey

SEED = 951239
HOUSEHOLDS = 47_000
COMMUNES_PER_DEPARTMENT = 8

# code: (name, share of the mean wage, departments)
_REGIONS = {
    "11": (
        "Île-de-France",
        1.18,
        "75 Paris|77 Seine-et-Marne|78 Yvelines|91 Essonne|92 Hauts-de-Seine|93 Seine-Saint-Denis|94 Val-de-Marne|95 Val-d'Oise",
    ),
    "24": (
        "Centre-Val de Loire",
        0.97,
        "18 Cher|28 Eure-et-Loir|36 Indre|37 Indre-et-Loire|41 Loir-et-Cher|45 Loiret",
    ),
    "27": (
        "Bourgogne-Franche-Comté",
        0.96,
        "21 Côte-d'Or|25 Doubs|39 Jura|58 Nièvre|70 Haute-Saône|71 Saône-et-Loire|89 Yonne|90 Territoire de Belfort",
    ),
    "28": ("Normandie", 0.96, "14 Calvados|27 Eure|50 Manche|61 Orne|76 Seine-Maritime"),
    "32": ("Hauts-de-France", 0.95, "02 Aisne|59 Nord|60 Oise|62 Pas-de-Calais|80 Somme"),
    "44": (
        "Grand Est",
        0.98,
        "08 Ardennes|10 Aube|51 Marne|52 Haute-Marne|54 Meurthe-et-Moselle|55 Meuse|57 Moselle|67 Bas-Rhin|68 Haut-Rhin|88 Vosges",
    ),
    "52": (
        "Pays de la Loire",
        0.97,
        "44 Loire-Atlantique|49 Maine-et-Loire|53 Mayenne|72 Sarthe|85 Vendée",
    ),
    "53": ("Bretagne", 0.98, "22 Côtes-d'Armor|29 Finistère|35 Ille-et-Vilaine|56 Morbihan"),
    "75": (
        "Nouvelle-Aquitaine",
        0.96,
        "16 Charente|17 Charente-Maritime|19 Corrèze|23 Creuse|24 Dordogne|33 Gironde|40 Landes|47 Lot-et-Garonne|64 Pyrénées-Atlantiques|79 Deux-Sèvres|86 Vienne|87 Haute-Vienne",
    ),
    "76": (
        "Occitanie",
        0.97,
        "09 Ariège|11 Aude|12 Aveyron|30 Gard|31 Haute-Garonne|32 Gers|34 Hérault|46 Lot|48 Lozère|65 Hautes-Pyrénées|66 Pyrénées-Orientales|81 Tarn|82 Tarn-et-Garonne",
    ),
    "84": (
        "Auvergne-Rhône-Alpes",
        1.01,
        "01 Ain|03 Allier|07 Ardèche|15 Cantal|26 Drôme|38 Isère|42 Loire|43 Haute-Loire|63 Puy-de-Dôme|69 Rhône|73 Savoie|74 Haute-Savoie",
    ),
    "93": (
        "Provence-Alpes-Côte d'Azur",
        0.99,
        "04 Alpes-de-Haute-Provence|05 Hautes-Alpes|06 Alpes-Maritimes|13 Bouches-du-Rhône|83 Var|84 Vaucluse",
    ),
    "94": ("Corse", 0.94, "2A Corse-du-Sud|2B Haute-Corse"),
}
_BEGINNINGS = (
    "Saint-Aubin|Sainte-Cécile|Villeneuve|Châteauneuf|Beaulieu|Montreuil|Fontenay|Bréhémont|Mézières|Noyers"
)
_ENDINGS = (
    "sur-Vesle|en-Forêt|le-Château|les-Bains|la-Rivière|sous-Bois|aux-Chênes|lès-Prés|du-Désert|sur-Mer"
)

TABLES = ("regions", "departements", "communes", "menages", "individus")

SCHEMA = """\
CREATE TABLE regions (
  code char(2) NOT NULL, nom text NOT NULL
)
CREATE TABLE departements (
  code varchar(3) NOT NULL, nom text NOT NULL, region char(2) NOT NULL
)
CREATE TABLE communes (
  code char(5) NOT NULL, nom text NOT NULL, departement varchar(3) NOT NULL, population integer NOT NULL,
  superficie_km2 numeric(7,2) NOT NULL, littorale boolean NOT NULL,
  latitude double precision, longitude double precision
)
CREATE TABLE menages (
  id integer NOT NULL, commune char(5) NOT NULL, enquete_le timestamptz NOT NULL, nb_personnes smallint NOT NULL,
  statut_occupation text, surface_m2 smallint, loyer numeric(7,2), revenu_disponible numeric(10,2),
  date_emmenagement date, voitures smallint, ponderation double precision NOT NULL, remarque text
)
CREATE TABLE individus (
  id integer NOT NULL, menage integer NOT NULL, rang smallint NOT NULL, sexe char(1) NOT NULL,
  date_naissance date NOT NULL, diplome text, activite text NOT NULL, profession text,
  salaire_net numeric(8,2), heures_semaine real, teletravail boolean, debut_emploi date
)"""

CONSTRAINTS = """\
ALTER TABLE regions ADD PRIMARY KEY (code);
ALTER TABLE departements ADD PRIMARY KEY (code), ADD FOREIGN KEY (region) REFERENCES regions;
ALTER TABLE communes ADD PRIMARY KEY (code), ADD FOREIGN KEY (departement) REFERENCES departements;
ALTER TABLE menages ADD PRIMARY KEY (id), ADD FOREIGN KEY (commune) REFERENCES communes,
  ADD CHECK (statut_occupation IN ('propriétaire', 'locataire HLM', 'locataire privé', 'logé gratuitement'));
ALTER TABLE individus ADD PRIMARY KEY (id), ADD FOREIGN KEY (menage) REFERENCES menages,
  ADD UNIQUE (menage, rang), ADD CHECK (sexe IN ('F', 'H'));
CREATE INDEX menages_commune ON menages (commune);
CREATE VIEW activite_par_region AS
  SELECT r.nom AS region, count(*) AS personnes,
    round(100.0 * count(*) FILTER (WHERE i.activite = 'au chômage')
      / nullif(count(*) FILTER (WHERE i.activite IN ('en emploi', 'au chômage')), 0), 1) AS taux_chomage,
    round(avg(i.salaire_net), 2) AS salaire_moyen
  FROM individus i JOIN menages m ON m.id = i.menage JOIN communes c ON c.code = m.commune
    JOIN departements d ON d.code = c.departement JOIN regions r ON r.code = d.region
  GROUP BY r.nom"""

COMMENTS = {
    "regions": "Régions de France métropolitaine",
    "departements": "Départements de France métropolitaine",
    "communes": "Communes imaginaires, huit par département",
    "menages": "Ménages enquêtés (données synthétiques)",
    "individus": "Personnes des ménages enquêtés (données synthétiques)",
    "communes.superficie_km2": "Superficie en km²",
    "menages.enquete_le": "Moment de l'entretien",
    "menages.loyer": "Loyer mensuel hors charges, en euros ; vide pour les propriétaires",
    "menages.revenu_disponible": "Revenu disponible annuel, en euros ; vide si non déclaré",
    "menages.ponderation": "Poids de sondage",
    "individus.rang": "Rang de la personne dans son ménage",
    "individus.activite": "en emploi, au chômage, en études, à la retraite, inactif, moins de 15 ans",
    "individus.salaire_net": "Salaire net mensuel, en euros ; vide sans emploi salarié ou si non déclaré",
    "individus.heures_semaine": "Durée habituelle du travail",
}


def statements(directory: Path) -> list[str]:
    """Return the SQL that makes and fills the tables from the files of `write`."""
    create = [f"CREATE TABLE {part.strip()}" for part in SCHEMA.split("CREATE TABLE ")[1:]]
    copy = [f"COPY {table} FROM '{directory / table}' (FREEZE)" for table in TABLES]
    comments = []
    for name, words in COMMENTS.items():
        what = "COLUMN" if "." in name else "TABLE"
        comments.append(f"COMMENT ON {what} {name} IS '{words.replace(chr(39), chr(39) * 2)}'")
    return [*create, *copy, *CONSTRAINTS.split(";\n"), *comments]


def write(directory: Path) -> None:
    """Write each table as a file for COPY, in text format."""
    draw = random.Random(SEED)  # noqa: S311 - invented people, not keys
    files = {table: (directory / table).open("w", encoding="utf-8", newline="\n") for table in TABLES}
    try:
        codes, shares = [], []
        for region, (name, level, departments) in _REGIONS.items():
            files["regions"].write(f"{region}\t{name}\n")
            for department in departments.split("|"):
                code, _, title = department.partition(" ")
                files["departements"].write(f"{code}\t{title}\t{region}\n")
                for commune, line in _communes(draw, code):
                    files["communes"].write(line)
                    codes.append(commune)
                    shares.append(level)
        for number in range(1, HOUSEHOLDS + 1):
            place = int(len(codes) * draw.random())
            household, members = survey.household(draw, number, codes[place], shares[place])
            files["menages"].write(household)
            files["individus"].writelines(members)
    finally:
        for file in files.values():
            file.close()


def _communes(draw: random.Random, department: str) -> Iterator[tuple[str, str]]:
    names = draw.sample(
        [f"{a}-{b}" for a in _BEGINNINGS.split("|") for b in _ENDINGS.split("|")], COMMUNES_PER_DEPARTMENT
    )
    for number, name in enumerate(names):
        code = f"{department}{7 + 23 * number:03d}"
        people = int(180 * 2.1 ** draw.uniform(0, 10))
        area = 2 + 60 * draw.random() ** 2
        coast = "t" if name.endswith("sur-Mer") else "f"
        place = f"{draw.uniform(42.4, 50.9):.5f}\t{draw.uniform(-4.6, 8.1):.5f}"
        yield code, f"{code}\t{name}\t{department}\t{people}\t{area:.2f}\t{coast}\t{place}\n"
