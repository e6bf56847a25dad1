#!/usr/bin/perl

# The tables of docs/ against the sources: directives, variables, metrics, codes.
# Outcomes of codes are those that tests have seen with them.

use strict;
use warnings;

use File::Basename qw(dirname);
use Test::More;

my $top = dirname(__FILE__) . '/..';

sub slurp {
    my ($file) = @_;
    open my $in, '<', "$top/$file" or die "$file: $!";
    local $/;
    return scalar <$in>;
}

# What a page has and what the sources have.
sub same {
    my ($page, $source, $what) = @_;
    cmp_ok(scalar @$source, '>', 10, "there are many $what");
    is_deeply([sort @$page], [sort @$source], "each of the $what is there, once");
}


# --- Directives --------------------------------------------------------------

my %CONTEXT = (NGX_HTTP_MAIN_CONF => 'http', NGX_HTTP_SRV_CONF => 'server', NGX_HTTP_LOC_CONF => 'location');

my %context;
my ($commands) = slurp('src/ngx_http_chatmaid_module.c') =~ /^static ngx_command_t.*?\{\n(.*?)^\};/ms;
while ($commands =~ /\{ ngx_string\("(\w+)"\),\s*([A-Z0-9_|\s]+),/g) {
    my ($name, $flags) = ($1, $2);
    $context{$name} = join ', ', map { $CONTEXT{$_} // () } split /[|\s]+/, $flags;
}

my $directives = slurp('docs/directives.md');
my (@there, %linked);
for my $section (split /^## /m, $directives) {
    my ($name) = $section =~ /\A(chatmaid_\w+)\n/ or next;
    push @there, $name;
    my ($syntax, $default, $where) = $section =~ /^```text\nSyntax:  (.*?);\nDefault: (.*?)\nContext: (.*?)\n```$/ms;
    like($syntax // '', qr/\A$name\b/, "$name: its syntax");
    like($default // '', qr/\A(?:—|$name .+;)\z/, "$name: its default");
    is($where, $context{$name}, "$name: its context");
    like($section, qr/^```nginx\n(?:(?!^```).)*?\b$name\b/ms, "$name: an example");
}
same(\@there, [keys %context], 'directives');
$linked{$_} = 1 for $directives =~ /\]\(#(\w+)\)/g;
is_deeply([sort keys %linked], [sort @there], 'and the list at the top has them');


# --- Variables and metrics ---------------------------------------------------

my $variables = slurp('src/ngx_http_chatmaid_variables.c');
same([map { /^\| `\$(\w+)` \|/ } split /\n/, slurp('docs/variables.md')],
     [(map { "chatmaid_$_" } $variables =~ /^    ngx_http_chatmaid_variables_of\((\w+)\)/gm),
      $variables =~ /^    \{ ngx_string\("(chatmaid_\w+)"\)/gm], 'variables');

my %metric = map { $_ => 1 } map { slurp("src/status/ngx_http_chatmaid_status_$_.c") =~ /"(chatmaid_\w+)"/g } qw(metrics accounts);
same([map { /^\| `(chatmaid_\w+)` \|/ } split /\n/, slurp('docs/monitoring.md')], [keys %metric], 'metrics');


# --- Error codes -------------------------------------------------------------

my %status = reverse slurp('src/answer/ngx_http_chatmaid_problem.c') =~ /\{ (\d{3}), "(\w+)" \}/g;
my (@codes, %page, %outcomes);

for my $section (split /^### /m, slurp('docs/errors.md')) {
    my ($code) = $section =~ /\A`(\w+)`\n/ or next;
    push @codes, $code;
    my ($status, $outcomes) = $section =~ /\A\S+\n\nStatus (\d{3})(?:, outcome (.+))?\.\n/;
    $page{$code}     = $status;
    $outcomes{$code} = join ' ', sort(($outcomes // '') =~ /`(\w+)`/g);
    like($section, qr/\*\*Do:\*\*\s\S/, "$code: says what to do");
}
same(\@codes, [keys %status], 'codes');
is($page{$_}, $status{$_}, "$_: its status") for sort keys %status;

# As tests write what a sender is told: "503 store_unavailable unknown".
my %seen;
for my $test (map { m{(t/[^/]+)\z} } glob "$top/t/*.t") {
    my $text = slurp($test);
    $seen{$1}{$2} = 1 while $text =~ /\b[45]\d\d (\w+) (not_sent|unknown)\b/g;
}
is($outcomes{$_}, join(' ', sort keys %{$seen{$_} // {}}), "$_: the outcomes that tests have seen")
    for grep { $_ ne 'internal_error' } sort keys %status;     # no test can bring about each kind


# --- Tests that pages name ---------------------------------------------------

for my $page (map { m{(docs/[^/]+)\z} } glob "$top/docs/*.md") {
    my %named = map { $_ => 1 } slurp($page) =~ m{`(t/[\w.-]+\.t)`}g;
    is(join(' ', grep { !-e "$top/$_" } sort keys %named), '', "$page: the tests that it names are there");
}

done_testing;
