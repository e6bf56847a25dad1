# contrib/: the alerts fire when they should and are quiet otherwise; they and the
# dashboard name metrics and labels that there are.

use Chatmaid::Test;
use Chatmaid::Test::Metrics;
use Mojo::File qw(curfile);
use Mojo::JSON qw(decode_json encode_json);

my $contrib   = curfile->dirname->sibling('contrib');
my $alerts    = $contrib->child('alerts.yml');
my %is_directive = map { $_ => 1 } $contrib->sibling('docs/directives.md')->slurp =~ /^#+ (chatmaid_\w+)$/mg;
my $dashboard = decode_json($contrib->child('grafana.json')->slurp);

my ($code, $said) = promtool('', qw(check rules), $alerts);
is($code, 0, 'the rules are right') or diag $said;
($code, $said) = promtool('', qw(test rules), $contrib->child('alerts-test.yml'));
is($code, 0, 'they fire, and they do not') or diag $said;

my @queries = map { $_->{expr} } map { @{$_->{targets}} } @{$dashboard->{panels}};
cmp_ok(scalar @queries, '>=', 20, 'the dashboard asks something');

# What Grafana fills in.
my @filled = map { s/\$__rate_interval/5m/gr =~ s/\$(?:job|instance)\b/.+/gr } @queries;
my $rules  = dir . '/dashboard.yml';
spurt($rules, encode_json({groups => [{name => 'dashboard', rules => [map { {record => "r$_", expr => $filled[$_]} } 0 .. $#filled]}]}));
($code, $said) = promtool('', qw(check rules), $rules);
is($code, 0, 'each of its queries is one') or diag $said;

my $api = sandbox;
nginx(server => $STATUS, gateway => 'chatmaid_sender +15550100001; chatmaid_rate 80r/m burst=10;');
my ($text, %type) = (scrape->{body});
%type = $text =~ /^# TYPE (\S+) (\S+)$/mg;

my %asked;
for my $from ([alerts => join "\n", grep { !/^\s*#/ } split /\n/, $alerts->slurp], map { [dashboard => $_] } @queries) {
    my ($name, $query) = @$from;
    for my $metric ($query =~ /\b(chatmaid_\w+)/g) {
        next if $is_directive{$metric};         # in what they say
        my $base = $metric =~ s/_(?:bucket|sum|count)\z//r;
        ok($type{$metric} || ($type{$base} // '') eq 'histogram', "$name: $metric exists");
        $asked{$base} = 1 if $name eq 'dashboard';
    }
    while ($query =~ /\b(chatmaid_\w+)\{([^}]*)\}/g) {
        my ($metric, $labels) = ($1, $2);
        while ($labels =~ /\b(state|outcome|result|reason)(!?=~?)"([^"]*)"/g) {
            my ($label, $values) = ($1, $3);
            like($text, qr/^$metric\{$label="$_"\}/m, "$name: $metric has $label $_") for split /\|/, $values;
        }
    }
}
is(join(' ', grep { !$asked{$_} } sort keys %type), '', 'the dashboard shows all there are');

done;
