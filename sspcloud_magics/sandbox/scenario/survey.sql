CREATE TABLE regions (
  code char(2) NOT NULL, nom text NOT NULL
);
CREATE TABLE departements (
  code varchar(3) NOT NULL, nom text NOT NULL, region char(2) NOT NULL
);
CREATE TABLE communes (
  code char(5) NOT NULL, nom text NOT NULL, departement varchar(3) NOT NULL, population integer NOT NULL,
  superficie_km2 numeric(7,2) NOT NULL, littorale boolean NOT NULL,
  latitude double precision, longitude double precision
);
CREATE TABLE menages (
  id integer NOT NULL, commune char(5) NOT NULL, enquete_le timestamptz NOT NULL, nb_personnes smallint NOT NULL,
  statut_occupation text, surface_m2 smallint, loyer numeric(7,2), revenu_disponible numeric(10,2),
  date_emmenagement date, voitures smallint, ponderation double precision NOT NULL, remarque text
);
CREATE TABLE individus (
  id integer NOT NULL, menage integer NOT NULL, rang smallint NOT NULL, sexe char(1) NOT NULL,
  date_naissance date NOT NULL, diplome text, activite text NOT NULL, profession text,
  salaire_net numeric(8,2), heures_semaine real, teletravail boolean, debut_emploi date
);
COPY regions FROM '${directory}/regions' (FREEZE);
COPY departements FROM '${directory}/departements' (FREEZE);
COPY communes FROM '${directory}/communes' (FREEZE);
COPY menages FROM '${directory}/menages' (FREEZE);
COPY individus FROM '${directory}/individus' (FREEZE);
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
  GROUP BY r.nom;
COMMENT ON TABLE regions IS 'Régions de France métropolitaine';
COMMENT ON TABLE departements IS 'Départements de France métropolitaine';
COMMENT ON TABLE communes IS 'Communes imaginaires, huit par département';
COMMENT ON TABLE menages IS 'Ménages enquêtés (données synthétiques)';
COMMENT ON TABLE individus IS 'Personnes des ménages enquêtés (données synthétiques)';
COMMENT ON COLUMN communes.superficie_km2 IS 'Superficie en km²';
COMMENT ON COLUMN menages.enquete_le IS 'Moment de l''entretien';
COMMENT ON COLUMN menages.loyer IS 'Loyer mensuel hors charges, en euros ; vide pour les propriétaires';
COMMENT ON COLUMN menages.revenu_disponible IS 'Revenu disponible annuel, en euros ; vide si non déclaré';
COMMENT ON COLUMN menages.ponderation IS 'Poids de sondage';
COMMENT ON COLUMN individus.rang IS 'Rang de la personne dans son ménage';
COMMENT ON COLUMN individus.activite IS 'en emploi, au chômage, en études, à la retraite, inactif, moins de 15 ans';
COMMENT ON COLUMN individus.salaire_net IS 'Salaire net mensuel, en euros ; vide sans emploi salarié ou si non déclaré';
COMMENT ON COLUMN individus.heures_semaine IS 'Durée habituelle du travail'
