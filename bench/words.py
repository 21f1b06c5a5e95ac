"""The words that the measured people, companies, deals and activities are made of. Our own lists, invented."""

# By how often one meets them: the generator takes the front of a list far oftener than its end.
FIRST_NAMES = (
    "Anna Thomas Maria Michael Julia Peter Laura Andreas Sarah Jan Lena Martin Eva Paul Sofia David Emma Daniel "
    "Clara Stefan Elena Markus Nina Alexander Lucía Pierre Camille Jörg Ingrid Lars Katarzyna Paweł Jana Tomáš "
    "Zsófia Gábor Giulia Marco Chiara Luca Inês João Søren Mette Åsa Björn Aino Mikko Андрей Ольга Сергей Наталья "
    "Дмитрий Ирина Νίκος Ελένη İbrahim Ayşe Mehmet Zeynep François Hélène Loïc Maëlle Seán Niamh Priya Arjun "
    "Ananya Wei Ming Yuki Haruto Fatima Omar Leïla Kwame Amara Nguyễn Linh Tiago Beatriz Renée Jürgen Käthe "
    "Ursula Wolfgang Heike Dirk Silke Torsten Birgit Uwe Anke Ralf Petra Holger Sabine Veronika Ondřej Lenka "
    "Vojtěch Agnieszka Łukasz Małgorzata Krzysztof Réka Bence Ioana Andrei Mihai Snežana Goran Ivana Matej "
    "Špela Rasmus Freja Sigrid Olav Eirik Ragnhild Elif Deniz Carmen Javier Ángel Núria Oriol Aitor Xosé"
).split()

LAST_NAMES = (
    "Müller Schmidt Novak Martin Garcia Rossi Kowalski Jansen Andersson Silva Nielsen Weber Dubois Horvat Meyer "
    "Smith Petrov Lindström Fischer Nagy Popescu Virtanen Hansen Costa Becker Moreau Russo Wiśniewski Svoboda "
    "Johansen Hoffmann Ivanov Kaya Papadopoulos Schulz Leroy Ferrari Dvořák García Fernández O'Brien Murphy Öztürk "
    "Koch Richter Klein Wolf Schröder Neumann Zimmermann Braun Krüger Hofmann Hartmann Lange Krause Lehmann Köhler "
    "Jäger Größl Weiß Fuß Bjørnstad Ødegård Åkesson Sjöberg Nyström Korhonen Mäkinen Hämäläinen Kazlauskas Bērziņš "
    "Tamm Szabó Kovács Tóth Varga Ionescu Georgiev Димитров Кузнецов Соколова Шевченко Мельник Коваленко "
    "Παπαδάκης Yılmaz Şahin Çelik Nguyen Tran Chen Wang Li Zhang Tanaka Sato Suzuki Kim Park Singh Sharma Patel "
    "Okafor Mensah Diallo Haddad Mansour Rahman Ribeiro Carvalho Gonçalves Muñoz Núñez Ibáñez Etxeberria "
    "Lefèvre Bélanger Gauthier Château Delacroix Van-den-Berg De-Vries Bakker Visser Claes Peeters Brunner Huber "
    "Steiner Gruber Moser Egger Bühler Zürcher Hässig Keller"
).split()

# Any of the first before any of the second: the long tail of family names.
SURNAME_FRONTS = (
    "Alt Berg Birken Blumen Buchen Busch Eber Eich Eisen Erlen Falken Feld Fichten Friede Gold Grün Hagen Hart Hasel "
    "Heiden Hirsch Hohen Holz Kalten Kirch König Kron Land Lauter Linden Löwen Mittel Mühl Neu Ober Ochsen Rosen "
    "Rothen Sand Schön Schwarz Silber Sommer Stein Stern Tannen Unter Vogel Wald Wasser Weiden Wein Wild Winter "
    "Wolfs Ziegel"
).split()
SURNAME_ENDS = (
    "bach baum beck berg berger brink brunn burg busch dorf eck egger feld fels garten graben hagen hauer haus hof "
    "holz huber hütter kamp kirchner lehner mann meier mühl müller rath reuter ried rieder roth schmied schneider "
    "stätter stein stetter stock thal walder wald weg weiler wieser zweig"
).split()

# City, region, country, dialling code; weight.
CITIES = (
    ("Berlin", "Berlin", "Germany", "+49 30", 90),
    ("Hamburg", "Hamburg", "Germany", "+49 40", 60),
    ("München", "Bavaria", "Germany", "+49 89", 60),
    ("Köln", "North Rhine-Westphalia", "Germany", "+49 221", 40),
    ("Frankfurt am Main", "Hesse", "Germany", "+49 69", 40),
    ("Stuttgart", "Baden-Württemberg", "Germany", "+49 711", 30),
    ("Düsseldorf", "North Rhine-Westphalia", "Germany", "+49 211", 30),
    ("Leipzig", "Saxony", "Germany", "+49 341", 20),
    ("Nürnberg", "Bavaria", "Germany", "+49 911", 15),
    ("Lübeck", "Schleswig-Holstein", "Germany", "+49 451", 6),
    ("Görlitz", "Saxony", "Germany", "+49 3581", 2),
    ("Wien", "Vienna", "Austria", "+43 1", 50),
    ("Graz", "Styria", "Austria", "+43 316", 12),
    ("Linz", "Upper Austria", "Austria", "+43 732", 10),
    ("Zürich", "Zürich", "Switzerland", "+41 44", 40),
    ("Genève", "Geneva", "Switzerland", "+41 22", 15),
    ("Basel", "Basel-Stadt", "Switzerland", "+41 61", 12),
    ("Paris", "Île-de-France", "France", "+33 1", 60),
    ("Lyon", "Auvergne-Rhône-Alpes", "France", "+33 4", 25),
    ("Nîmes", "Occitanie", "France", "+33 4", 5),
    ("London", "England", "United Kingdom", "+44 20", 55),
    ("Manchester", "England", "United Kingdom", "+44 161", 18),
    ("Glasgow", "Scotland", "United Kingdom", "+44 141", 8),
    ("Amsterdam", "North Holland", "Netherlands", "+31 20", 30),
    ("Utrecht", "Utrecht", "Netherlands", "+31 30", 10),
    ("Bruxelles", "Brussels", "Belgium", "+32 2", 20),
    ("Antwerpen", "Flanders", "Belgium", "+32 3", 10),
    ("København", "Hovedstaden", "Denmark", "+45", 18),
    ("Århus", "Midtjylland", "Denmark", "+45", 7),
    ("Stockholm", "Stockholm", "Sweden", "+46 8", 20),
    ("Göteborg", "Västra Götaland", "Sweden", "+46 31", 10),
    ("Oslo", "Oslo", "Norway", "+47", 12),
    ("Tromsø", "Troms", "Norway", "+47", 2),
    ("Helsinki", "Uusimaa", "Finland", "+358 9", 10),
    ("Warszawa", "Mazovia", "Poland", "+48 22", 25),
    ("Kraków", "Lesser Poland", "Poland", "+48 12", 14),
    ("Łódź", "Łódź", "Poland", "+48 42", 8),
    ("Praha", "Prague", "Czechia", "+420 2", 20),
    ("Brno", "South Moravia", "Czechia", "+420 5", 8),
    ("Budapest", "Budapest", "Hungary", "+36 1", 14),
    ("București", "Bucharest", "Romania", "+40 21", 12),
    ("Milano", "Lombardy", "Italy", "+39 02", 30),
    ("Roma", "Lazio", "Italy", "+39 06", 25),
    ("Torino", "Piedmont", "Italy", "+39 011", 12),
    ("Madrid", "Madrid", "Spain", "+34 91", 28),
    ("Barcelona", "Catalonia", "Spain", "+34 93", 25),
    ("A Coruña", "Galicia", "Spain", "+34 981", 4),
    ("Lisboa", "Lisbon", "Portugal", "+351 21", 12),
    ("Αθήνα", "Attica", "Greece", "+30 21", 8),
    ("İstanbul", "Marmara", "Türkiye", "+90 212", 14),
    ("Київ", "Kyiv", "Ukraine", "+380 44", 8),
    ("New York", "New York", "United States", "+1 212", 25),
    ("San Francisco", "California", "United States", "+1 415", 12),
    ("Toronto", "Ontario", "Canada", "+1 416", 8),
    ("Singapore", "Singapore", "Singapore", "+65", 6),
    ("東京", "Tokyo", "Japan", "+81 3", 4),
    ("Reykjavík", "Capital Region", "Iceland", "+354", 1),
    ("Vaduz", "Oberland", "Liechtenstein", "+423", 1),
)

STREETS = (
    "Hauptstraße Bahnhofstraße Lindenweg Gartenstraße Schulstraße Marktplatz Mühlgasse Ringstraße Hafenstraße "
    "Kirchweg Birkenallee Industriestraße Bergstraße Rosengasse Uferweg Ahornweg"
).split()

JOB_TITLES = (
    ("Purchasing Manager", 12),
    ("Managing Director", 10),
    ("Account Manager", 10),
    ("Head of IT", 8),
    ("Office Manager", 8),
    ("Sales Manager", 8),
    ("Production Planner", 6),
    ("Controller", 6),
    ("Marketing Manager", 5),
    ("Head of Logistics", 4),
    ("Quality Engineer", 4),
    ("Facility Manager", 3),
    ("Legal Counsel", 2),
    ("Works Council Chair", 1),
)

COMPANY_WORDS = (
    "Nordlicht Alpen Rhein Elbe Atlas Polar Hansa Kontor Merkur Orion Vega Delta Kristall Granit Kupfer Silber "
    "Bernstein Zeder Ahorn Falke Adler Luchs Biber Otter Kranich Anker Kompass Leuchtturm Brücken Quell Sonnen Mond "
    "Stern Wind Wasser Feuer Erd Licht Klang Faden Wolle Leinen Papier Tinte Glas Ton Stein Eisen Stahl Draht Motor "
    "Pumpen Ventil Getriebe Lager Regal Kisten Fracht Kurier Schiene Flug Hafen Markt Garten Acker Mühlen Brot Honig "
    "Malz Hopfen Trauben Oliven Käse Milch Fisch Salz Pfeffer Kaffee Tee Kakao"
).split()
COMPANY_TRADES = (
    "technik werke handel logistik systeme bau druck software energie medizin möbel optik textil verlag beratung "
    "planung elektronik chemie kühlung reinigung sicherheit"
).split()
LEGAL_FORMS = ("GmbH", "AG", "KG", "Ltd", "SA", "S.r.l.", "B.V.", "AB", "sp. z o.o.", "Oy")

INDUSTRIES = (
    ("Manufacturing", 25),
    ("Trade", 20),
    ("Services", 15),
    ("Construction", 10),
    ("Logistics", 8),
    ("Health", 7),
    ("Energy", 5),
    ("Public sector", 5),
    ("Education", 3),
    ("Agriculture", 2),
)

DEAL_SUBJECTS = (
    "Licences Renewal Maintenance Roll-out Framework-contract Pilot Extension Spare-parts Training Migration "
    "Refurbishment Leasing Consulting Delivery"
).split()
LOST_REASONS = ("Price", "A competitor was quicker", "The budget was cut", "No answer any more")

ACTIVITY_SUBJECTS = (
    "Call back",
    "Offer sent",
    "Met at the fair",
    "Asked for references",
    "Sent the price list",
    "Visit on site",
    "Contract discussed",
    "Complaint about a delivery",
    "Invited to the summer party",
    "Wants a demonstration",
    "Asked for a discount",
    "New address",
    "Introduced the new colleague",
    "Feedback on the pilot",
    "Sample arrived",
)
ACTIVITY_SENTENCES = (
    "They compare us with two others and decide by the end of the quarter.",
    "Delivery in two lots would suit them best.",
    "The budget is approved, the order comes after the holidays.",
    "He asked for the data sheet and a reference from the same trade.",
    "She prefers mail to the telephone.",
    "The machine in hall three needs a new controller first.",
    "Payment within thirty days was promised.",
    "They had trouble with the last consignment; we sent a replacement.",
    "The technician will come along next time.",
    "Call again in spring.",
)
